use super::links::Link; pub struct Name;
use super::more;
