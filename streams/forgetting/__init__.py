"""Values that are taken out of everything that copyloop wrote."""
