// SPDX-License-Identifier: GPL-2.0
const PARAMETERS: &[Word] = &[
    flag(c"ssd", |options| options.ssd = true),
    taken(c"nossd"),
    Word::new(c"commit", Kind::U32(MountOptions::take_commit)),
    refused(c"degraded"),
    Word::new(c"device", Kind::RefusedText),
];
