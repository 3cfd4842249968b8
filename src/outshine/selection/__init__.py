"""`outshine select`: what choosing a method or checkpoint without ground truth would have lost."""
