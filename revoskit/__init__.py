"""Tools around ReVOS: annotations, masks, clips, scores, pictures. The dataset itself is the module `revos`."""
