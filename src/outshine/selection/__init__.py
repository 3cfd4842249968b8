"""`outshine select`: how well could one have chosen without ground truth?"""
