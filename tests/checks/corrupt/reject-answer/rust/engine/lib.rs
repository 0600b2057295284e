mod disk; mod fs;
