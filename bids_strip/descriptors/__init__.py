"""The option table as JSON descriptors: Boutiques, the draft BIDS execution specification."""
