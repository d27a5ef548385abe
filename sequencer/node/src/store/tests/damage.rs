//! Files that are not what they should be: an error with its code, never a panic.

use std::fs;
use std::io;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::*;
use super::*;

fn code(error: &StoreError) -> String {
    error.to_string()[..14].to_owned()
}

#[test]
fn a_file_of_another_chain_or_validator_is_refused() {
    let (_directory, path) = place();
    drop(Store::create(&path, identity()).unwrap());
    let chain = ChainId(Digest([8; 32]));
    let other = Identity {
        chain,
        ..identity()
    };
    let error = Store::open(&path, other).err().unwrap();
    assert!(matches!(error, StoreError::WrongChain { .. }));
    assert_eq!(code(&error), "[CV-STORE-002]");
    let validator = ValidatorIndex(3);
    let other = Identity {
        validator,
        ..identity()
    };
    let error = Store::open(&path, other).err().unwrap();
    assert!(matches!(error, StoreError::WrongValidator { .. }));
    Store::open(&path, identity()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let mut batch = WriteBatch::new();
    batch.put_value(Table::Meta, b"format", &(FORMAT_VERSION + 1));
    batch.put(Table::Meta, b"identity", *b"in a form we do not know");
    store.commit(&batch).unwrap();
    drop(store);
    let error = Store::open(&path, identity()).err().unwrap();
    let newer = FORMAT_VERSION + 1;
    assert!(
        matches!(error, StoreError::NewerFormat { found, .. } if found == newer),
        "{error}"
    );
}

/// Format 3 added tables; a store of format 2 gets them and keeps what it has.
#[test]
fn an_older_format_is_brought_up() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let mut batch = put(Table::Safety, keys::SAFETY, b"view 7");
    batch.put_value(Table::Meta, b"format", &2_u32);
    store.commit(&batch).unwrap();
    drop(store);
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for table in [
        Table::Gaps,
        Table::Archive,
        Table::BatchHeights,
        Table::ProverCounts,
    ] {
        assert!(transaction.delete_table(table.definition()).unwrap());
    }
    transaction.commit().unwrap();
    drop(database);
    let snapshot = Store::open(&path, identity()).unwrap().snapshot().unwrap();
    let safety = snapshot.get(Table::Safety, keys::SAFETY).unwrap();
    assert_eq!(safety.as_deref(), Some(b"view 7".as_slice()));
    for table in Table::ALL {
        assert!(snapshot.range(*table, &KeyRange::all(), 1).is_ok());
    }
    let format = snapshot.get_value::<u32>(Table::Meta, b"format");
    assert_eq!(format, Ok(Some(FORMAT_VERSION)));
}

#[test]
fn an_open_file_is_refused_to_others() {
    let (_directory, path) = place();
    let _store = Store::create(&path, identity()).unwrap();
    let error = Store::open(&path, identity()).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let error = Store::create(&path, identity()).err().unwrap();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
}

#[test]
fn missing_files_and_directories_are_named() {
    let (directory, path) = place();
    let error = Store::open(&path, identity()).err().unwrap();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    let nowhere = directory.path().join("nowhere").join("node.redb");
    let error = Store::create(&nowhere, identity()).err().unwrap();
    assert!(error.to_string().contains("no such directory"), "{error}");
    assert!(Store::open(directory.path(), identity()).is_err());
    Store::open_or_create(&path, identity()).unwrap();
    Store::open_or_create(&path, identity()).unwrap();
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    let (directory, path) = place();
    fs::write(directory.path().join("node.redb.new"), b"half a file").unwrap();
    Store::create(&path, identity()).unwrap();
    assert!(!directory.path().join("node.redb.new").exists());
}

#[test]
fn an_operating_system_error_gets_its_code() {
    let path = std::path::Path::new("node.redb");
    let code_of = |kind: io::ErrorKind| code(&error::from_io(path, &kind.into()));
    assert_eq!(code_of(io::ErrorKind::PermissionDenied), "[CV-STORE-006]");
    assert_eq!(code_of(io::ErrorKind::ReadOnlyFilesystem), "[CV-STORE-006]");
    assert_eq!(code_of(io::ErrorKind::StorageFull), "[CV-STORE-007]");
    assert_eq!(code_of(io::ErrorKind::Other), "[CV-STORE-001]");
}

#[test]
fn a_damaged_file_gives_an_error() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let mut batch = WriteBatch::new();
    for height in 0..200 {
        batch.put(
            Table::Blocks,
            keys::height(Height(height)),
            vec![height as u8; 400],
        );
    }
    store.commit(&batch).unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let store = Store::open(&path, identity())?;
        store
            .snapshot()?
            .range(Table::Blocks, &KeyRange::all(), 1000)
    };
    let rows = open(&whole).unwrap();
    assert_eq!(rows.len(), 200);

    for garbage in [b"".as_slice(), b"not a database", &[0; 100_000]] {
        let error = open(garbage).unwrap_err();
        assert!(matches!(error, StoreError::Corrupted { .. }), "{error}");
    }
    for part in 1..20 {
        let length = whole.len() * part / 20;
        let error = open(&whole[..length]).unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupted { .. }),
            "{length}: {error}"
        );
    }
    // A flipped bit is found, or was in a part of the file that holds nothing.
    let mut rng = StdRng::seed_from_u64(2);
    let mut found = 0;
    for _ in 0..100 {
        let mut bytes = whole.clone();
        let place = rng.gen_range(0..bytes.len());
        bytes[place] ^= 1 << rng.gen_range(0..8);
        match open(&bytes) {
            Ok(same) => assert_eq!(same, rows, "the bit at {place} changed the contents"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 0);
}
