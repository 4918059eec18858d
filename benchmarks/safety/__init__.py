"""`prov bench safety`: what the filters find, miss and cost."""
