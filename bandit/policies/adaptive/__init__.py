"""The policy that finds by itself what matters."""
