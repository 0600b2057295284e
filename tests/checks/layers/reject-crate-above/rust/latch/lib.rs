use engine::disk::Key;
