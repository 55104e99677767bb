"""ImageJ (Fiji) shows results while they are made."""
