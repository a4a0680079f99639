"""Other systems' protocols, translated to the acts of the service."""
