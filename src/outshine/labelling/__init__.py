"""`outshine label`: is a strong model that is trained on cheap labels better than the labels?"""
