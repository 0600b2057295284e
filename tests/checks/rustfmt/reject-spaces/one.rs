fn  one(){ }
