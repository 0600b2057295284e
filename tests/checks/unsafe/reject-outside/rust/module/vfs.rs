fn f() { unsafe { g() } }
