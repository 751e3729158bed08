"""How good scaled data are: programs that judge, and change nothing but what is left out."""
