// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static int unused(void)
{
	return 0;
}

MODULE_LICENSE("GPL");
