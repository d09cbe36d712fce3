"""How the programs of the lab are built from package registries, and the images from them."""
