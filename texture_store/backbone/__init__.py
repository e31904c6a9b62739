"""Pixels to feature maps: the weights of VGG16 and the network itself."""
