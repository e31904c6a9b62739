"""Bytes to pixels: decode, vendor metadata, databar, intensity, resize. Arrays and bytes in, arrays out."""
