"""Azure Personalizer's API in front of placements, for clients that know no other."""
