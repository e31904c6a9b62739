"""Why scores are what they are: textures of filters, heat maps, exemplars. Arrays in, arrays out."""
