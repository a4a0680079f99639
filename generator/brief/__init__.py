"""Briefs: what an advertiser says about a product, checked before a model sees it."""
