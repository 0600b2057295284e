pub struct Key;
