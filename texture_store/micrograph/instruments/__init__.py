"""What each maker's instruments write beside the pixels: one module per maker, text in, `Vendor` out."""
