//! Every format that was ever released is still read. A fixture is never changed, only added.
//!
//! To add one: write the rows below with the released version, and keep the closed file as `format-N.db`.

use serde::{Deserialize, Serialize};
use store::{Scan, Store, StoreError, Table};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pond {
    fish: u32,
}

const PONDS: Table<Pond> = Table::new("ponds");

const FIXTURES: &[&[u8]] = &[include_bytes!("fixtures/format-1.db")];

#[test]
fn a_store_of_each_released_format_is_read_and_written() {
    for fixture in FIXTURES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        #[allow(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, fixture).unwrap();
        let store = Store::open(&path).unwrap();
        let rows = store.read(|view| view.scan(&PONDS, &Scan::all())).unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.value.fish)).collect();
        assert_eq!(found, [("a\0b", 1), ("é", 2)]);
        store
            .write(|tx| {
                let new = tx.replace(&PONDS, "é", rows[1].revision, &Pond { fish: 3 })?;
                assert!(rows.iter().all(|row| row.revision < new));
                Ok::<_, StoreError>(())
            })
            .unwrap();
        assert_eq!(store.verify().unwrap(), Vec::<String>::new());
    }
}
