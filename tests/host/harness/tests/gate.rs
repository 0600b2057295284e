// SPDX-License-Identifier: GPL-2.0
//! The gate takes what `mkfs.btrfs` and C btrfs make, and refuses or takes, but never trips over, anything else.

use engine::disk::raw::RawSuperblock;
use engine::disk::{
    check_block, check_block_to_write, seal_block, ChecksumKind, Header, Superblock, HEADER_SIZE,
    SUPERBLOCK_PLACES,
};
use harness::checksums::HostChecksums;
use harness::device::Image;
use harness::random::Random;
use harness::walker::{walk, Walked};
use harness::{tools, walker};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;
use zerocopy::{FromZeros, IntoBytes};

/// A folder with files of all kinds, for `mkfs.btrfs --rootdir`. Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rbtrfs-gate-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("many")).unwrap();
        fs::create_dir_all(path.join("sub/inner")).unwrap();
        for i in 0..600 {
            fs::write(
                path.join(format!("many/a file with a rather long name {i}")),
                [1; 90],
            )
            .unwrap();
        }
        let mut random = Random::new(1);
        let mut noise = vec![0; 3 << 20];
        random.fill(&mut noise);
        fs::write(path.join("noise"), &noise).unwrap();
        fs::write(path.join("zeros"), vec![0; 1 << 20]).unwrap();
        fs::write(path.join("empty"), []).unwrap();
        std::os::unix::fs::symlink("noise", path.join("link")).unwrap();
        for i in 0..40 {
            fs::hard_link(path.join("noise"), path.join(format!("sub/hard link {i}"))).unwrap();
        }
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Options of mkfs, one list per image.
const SHAPES: [&[&str]; 9] = [
    &[
        "--csum",
        "crc32c",
        "--nodesize",
        "4096",
        "-O",
        "^no-holes,^free-space-tree,^block-group-tree",
    ],
    &["--csum", "xxhash", "--nodesize", "8192"],
    &["--csum", "sha256", "--nodesize", "16384"],
    &["--csum", "blake2", "--nodesize", "32768"],
    &["--nodesize", "65536", "-d", "dup", "-m", "single"],
    &["--nodesize", "16384", "--compress", "zstd"],
    &[
        "--nodesize",
        "4096",
        "--compress",
        "lzo",
        "-O",
        "block-group-tree",
    ],
    &["--nodesize", "4096", "-O", "^skinny-metadata,^extref"],
    &["--nodesize", "16384", "-O", "quota"],
];

fn images(name: &str) -> Vec<(String, Image)> {
    let folder = Folder::new(name);
    let shape = |options: &&[&str]| {
        let all = [
            options,
            &["--rootdir", folder.path(), "--subvol", "sub"][..],
        ]
        .concat();
        (all.join(" "), tools::mkfs(512 << 20, &all))
    };
    let mut images: Vec<_> = SHAPES.iter().map(shape).collect();
    images.push(("zoned".into(), tools::mkfs(16 << 28, &["-O", "zoned"])));
    images
}

/// How many blocks `btrfs inspect-internal dump-tree` finds.
fn counted_by_tools(image: &Image) -> usize {
    let text = tools::dump_tree(image, &["--noscan"]).unwrap();
    text.lines()
        .filter(|line| line.starts_with("leaf ") || line.starts_with("node "))
        .filter(|line| line.contains(" items "))
        .count()
}

#[test]
fn takes_what_mkfs_makes() {
    for (name, image) in images("takes") {
        let walked = walk(&image);
        let format = walked.superblock.format();
        for block in &walked.blocks {
            let context = walked.context(&format, block);
            check_block(&block.bytes, &context).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            check_block_to_write(&block.bytes, &context)
                .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
        assert_eq!(walked.blocks.len(), counted_by_tools(&image), "{name}");
        assert!(walked.blocks.len() > 7, "{name}");
    }
}

#[test]
fn refuses_other_places_and_trees() {
    let image = tools::mkfs(256 << 20, &[]);
    let walked = walk(&image);
    let format = walked.superblock.format();
    let block = walked.blocks.first().unwrap();
    let right = walked.context(&format, block);
    let wrong = |change: &dyn Fn(&mut engine::disk::BlockContext<'_>)| {
        let mut context = right;
        change(&mut context);
        check_block(&block.bytes, &context).unwrap_err().flaw.what
    };
    check_block(&block.bytes, &right).unwrap();
    assert_eq!(
        wrong(&|c| c.addr = 4096.into_logical()),
        "block is for another address"
    );
    assert_eq!(wrong(&|c| c.level = Some(1)), "block has another level");
    assert_eq!(
        wrong(&|c| c.owner = Some(engine::disk::ObjectId::FS_TREE)),
        "block is of another tree"
    );
    assert_eq!(
        wrong(&|c| c.generation = Some(c.newest)),
        "block has another generation"
    );
    assert_eq!(
        wrong(&|c| c.first_key = Some(engine::disk::Key::MIN)),
        "block has another first key"
    );
    assert_eq!(
        wrong(&|c| {
            c.generation = None;
            c.newest = engine::disk::Generation::new(0);
        }),
        "block's generation is in the future"
    );
}

trait IntoLogical {
    fn into_logical(self) -> engine::disk::Logical;
}

impl IntoLogical for u64 {
    fn into_logical(self) -> engine::disk::Logical {
        engine::disk::Logical::new(self)
    }
}

/// Changes a few bytes of a block, more often where structure is.
fn mutate(bytes: &mut [u8], random: &mut Random) {
    let header = Header::new(bytes).map_or(0, |header| header.nritems as usize);
    let items = HEADER_SIZE + header.min(400) * 25;
    for _ in 0..1 + random.below(4) {
        let area = match random.below(4) {
            0 => 32..HEADER_SIZE,
            1 => HEADER_SIZE..items.max(HEADER_SIZE + 1),
            _ => items..bytes.len(),
        };
        if area.is_empty() || area.end > bytes.len() {
            continue;
        }
        let at = area.start + random.below(area.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = *random.choose(&[0, 1, 0x7f, 0x80, 0xff]),
            _ => {
                let end = (at + 8).min(bytes.len());
                let value = *random.choose(&[0, u64::MAX, 1 << 63, 4096, random.clone().next()]);
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
        }
    }
}

/// Where mutations of real blocks led.
#[derive(Default)]
struct Tally {
    taken: usize,
    refused: std::collections::BTreeMap<&'static str, usize>,
}

fn mutate_blocks(walked: &Walked, random: &mut Random, rounds: usize, tally: &mut Tally) {
    let mut format = walked.superblock.format();
    // The checksum is not the subject and takes the time.
    format.checksum = ChecksumKind::Crc32c;
    for _ in 0..rounds {
        let block: &walker::Found = random.choose(&walked.blocks);
        let mut bytes = block.bytes.clone();
        mutate(&mut bytes, random);
        seal_block(&mut bytes, format.checksum, &HostChecksums);
        let context = walked.context(&format, block);
        let began = Instant::now();
        match check_block(&bytes, &context) {
            Ok(()) => tally.taken += 1,
            Err(corrupt) => {
                assert!(!format!("{}", kernel::fmt::Adapter(&corrupt)).is_empty());
                *tally.refused.entry(corrupt.flaw.what).or_default() += 1;
            }
        }
        assert!(
            began.elapsed().as_millis() < 500,
            "the gate must not be slow"
        );
        let _ = check_block_to_write(&bytes, &context);
    }
}

#[test]
fn no_mutation_of_a_block_trips_it() {
    let mut random = Random::new(20);
    let mut tally = Tally::default();
    for (_, image) in images("mutate") {
        mutate_blocks(&walk(&image), &mut random, 4000, &mut tally);
    }
    // It must both take and refuse, for many reasons: else the mutations reach nothing.
    if let Ok(file) = std::env::var("RBTRFS_TALLY") {
        fs::write(
            file,
            tally
                .refused
                .keys()
                .map(|what| format!("{what}\n"))
                .collect::<String>(),
        )
        .unwrap();
    }
    assert!(tally.taken > 1000, "taken {}", tally.taken);
    assert!(
        tally.refused.len() > 80,
        "{} reasons: {:?}",
        tally.refused.len(),
        tally.refused
    );
}

#[test]
fn no_mutation_of_a_superblock_trips_it() {
    let image = tools::mkfs(256 << 20, &[]);
    let mut good = RawSuperblock::new_zeroed();
    image
        .pages
        .read(SUPERBLOCK_PLACES[0].get(), good.as_mut_bytes());
    Superblock::check(&good, SUPERBLOCK_PLACES[0], &HostChecksums).unwrap();
    let mut random = Random::new(3);
    let (mut taken, mut refused) = (0, std::collections::BTreeSet::new());
    for _ in 0..20_000 {
        let mut raw = good;
        let area =
            *random.choose(&[0x20..0x150, 0xc0..0x12b, 0x32b..0x3a0, 0x32b..0x1000].each_ref());
        for _ in 0..1 + random.below(3) {
            let at = area.start + random.below(area.len() as u64) as usize;
            raw.as_mut_bytes()[at] = random.next() as u8;
        }
        if !random.one_in(10) {
            let kind = ChecksumKind::try_from(raw.csum_type.get()).unwrap_or(ChecksumKind::Crc32c);
            engine::disk::seal(raw.as_mut_bytes(), kind, &HostChecksums);
        }
        match Superblock::check(&raw, SUPERBLOCK_PLACES[0], &HostChecksums) {
            Ok(_) => taken += 1,
            Err(error) => {
                refused.insert(match error {
                    engine::disk::SuperblockError::Corrupt(corrupt) => corrupt.flaw.what,
                    _ => "unsupported",
                });
            }
        }
    }
    assert!(taken > 100 && refused.len() > 20, "{taken}, {refused:?}");
}

/// Not a test but a figure: `cargo test --release -- --ignored --nocapture how_fast`.
#[test]
#[ignore]
fn how_fast() {
    let folder = Folder::new("fast");
    let image = tools::mkfs(512 << 20, &["--rootdir", folder.path()]);
    let walked = walk(&image);
    let format = walked.superblock.format();
    let mut figures = std::collections::BTreeMap::<_, (u32, f64)>::new();
    for block in &walked.blocks {
        let context = walked.context(&format, block);
        let micros = (0..20).map(|_| {
            let began = Instant::now();
            for _ in 0..100 {
                let bytes = std::hint::black_box(&block.bytes);
                check_block_to_write(bytes, &context).unwrap();
            }
            began.elapsed().as_secs_f64() * 1e4
        });
        let micros = micros.fold(f64::MAX, f64::min);
        let items = Header::new(&block.bytes).unwrap().nritems;
        let figure = figures.entry((block.owner, block.level)).or_default();
        *figure = (figure.0.max(items), figure.1.max(micros));
    }
    for ((owner, level), (items, micros)) in figures {
        let owner = owner.get();
        println!("tree {owner} level {level}: up to {items} items, {micros:.2} us");
    }
}
