mod corrupt;
