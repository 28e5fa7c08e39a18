"""One run and its parts: what happened, what is known from before, who may call a model, how it begins and ends."""
