"""One adapter trained by several parties through Flower, whose pictures stay with them."""
