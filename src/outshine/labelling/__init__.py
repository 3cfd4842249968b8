"""`outshine label`: is a strong model that is trained on weak labels better than the labels?"""
