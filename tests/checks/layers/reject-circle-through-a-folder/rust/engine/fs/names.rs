use super::links::Link; pub struct Name;
