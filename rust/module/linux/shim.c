// SPDX-License-Identifier: GPL-2.0
#include "shim.h"

void rbtrfs_folio_start_writeback(struct folio *folio)
{
	folio_start_writeback(folio);
}
