// SPDX-License-Identifier: GPL-2.0
//! Images go to the tools and come back.

use harness::tools;

#[test]
fn mkfs_and_check_regular() {
    let mut image = tools::mkfs(256 << 20, &[]);
    tools::check(&image).unwrap();
    // The judge must be able to say no: spoil the tree blocks.
    let blocks: Vec<_> = image
        .pages
        .written()
        .skip_while(|(at, _)| *at < 1 << 20)
        .map(|(at, page)| (at, *page))
        .collect();
    for (at, mut page) in blocks {
        page[500] ^= 1;
        image.pages.write(at, &page);
    }
    assert!(tools::check(&image).is_err());
}

#[test]
fn mkfs_and_check_zoned() {
    let image = tools::mkfs_zoned(16, &[], tools::zone_layout(4 << 20));
    tools::check(&image).unwrap();
    let zones = image.zones.as_ref().unwrap();
    assert!(zones.active() >= 3);
    assert_eq!(zones.at(0).write_pointer.get(), 4096);
}
