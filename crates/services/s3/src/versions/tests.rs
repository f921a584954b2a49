//! Versions against a model that keeps a plain list a key.

use host::sim::{Seed, SimIds};
use proptest::prelude::*;
use store::{Store, StoreError};

use super::*;
use crate::acl::Acl;
use crate::rows::{BLOBS, BlobRow, Content, Description};

const KEYS: [&str; 2] = ["a", "a/b"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Delete(usize),
    /// The n-th version of the key, newest first.
    DeleteVersion(usize, usize),
    Switch(Versioning),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS.len();
    prop::collection::vec(
        prop_oneof![
            5 => key.clone().prop_map(Step::Put),
            3 => key.clone().prop_map(Step::Delete),
            4 => (key, 0_usize..4).prop_map(|(key, at)| Step::DeleteVersion(key, at)),
            1 => Just(Step::Switch(Versioning::Enabled)),
            1 => Just(Step::Switch(Versioning::Suspended)),
        ],
        0..60,
    )
}

/// A version as the model has it: its id, and its blob unless it is a delete marker.
#[derive(Clone, Debug, PartialEq)]
struct Modelled {
    id: Option<String>,
    blob: Option<String>,
}

struct World {
    store: Store,
    ids: SimIds,
    versioning: Option<Versioning>,
    now_ms: u64,
    /// Newest first.
    model: [Vec<Modelled>; 2],
}

impl World {
    fn new() -> Self {
        let ids = SimIds::new(Seed(7));
        Self { store: Store::in_memory().unwrap(), ids, versioning: None, now_ms: 1000, model: [vec![], vec![]] }
    }

    fn place(&self, key: usize) -> Place<'static> {
        Place { bucket: "pictures", key: KEYS[key], versioning: self.versioning }
    }

    fn write<R>(&self, work: impl FnOnce(&mut Transaction<'_>, &mut Freed) -> Result<R, Failure>) -> R {
        self.store.write(|transaction| work(transaction, &mut Freed::default())).unwrap()
    }

    /// What AWS says a write leaves of the older versions.
    fn make_room(&mut self, key: usize) {
        match self.versioning {
            None => self.model[key].clear(),
            Some(Versioning::Suspended) => self.model[key].retain(|version| version.id.is_some()),
            Some(Versioning::Enabled) => {}
        }
    }

    fn step(&mut self, step: &Step) {
        self.now_ms += 1;
        match *step {
            Step::Put(key) => {
                let blob = format!("blob-{}", self.now_ms);
                let (row, place) = (object(&blob, self.now_ms), self.place(key));
                let version = self.write(|transaction, freed| {
                    let new = BlobRow { references: 0, size: 1, bytes: Some("YQ==".to_owned()) };
                    service::link(transaction, &row.content, Some(new))?;
                    add(transaction, place, row, &self.ids, freed)
                });
                self.make_room(key);
                self.model[key].insert(0, Modelled { id: version.id, blob: Some(blob) });
            }
            Step::Delete(key) => {
                let (place, by) = (self.place(key), ("111111111111".to_owned(), self.now_ms));
                let marker = self.write(|transaction, freed| hide(transaction, place, by, &self.ids, freed));
                assert_eq!(marker.is_some(), self.versioning.is_some());
                self.make_room(key);
                if let Some(version) = marker {
                    self.model[key].insert(0, Modelled { id: version.id, blob: None });
                }
            }
            Step::DeleteVersion(key, at) => {
                let Some(version) = self.model[key].get(at).cloned() else { return };
                let (place, wanted) = (self.place(key), id_of(&version));
                let gone = self.write(|transaction, freed| remove(transaction, place, &wanted, freed));
                assert_eq!(gone.as_ref().map(modelled), Some(version));
                let again = self.write(|transaction, freed| remove(transaction, place, &wanted, freed));
                assert!(again.is_none(), "what is removed is gone");
                self.model[key].remove(at);
            }
            Step::Switch(versioning) => self.versioning = Some(versioning),
        }
    }

    fn check(&self) {
        self.store.read(|view| self.check_rows(view)).unwrap();
    }

    fn check_rows(&self, view: &View<'_>) -> Result<(), Failure> {
        for (key, versions) in self.model.iter().enumerate() {
            let place = self.place(key);
            let standing = current(view, place)?;
            assert_eq!(standing.as_ref().map(modelled), versions.first().cloned());
            let object = service::object(view, place.bucket, place.key)?.is_some();
            assert_eq!(object, matches!(standing, Some(Standing::Object(_))), "a current object is in its table");
            for version in versions {
                let found = find(view, place, &id_of(version))?;
                assert_eq!(found.as_ref().map(modelled), Some(version.clone()));
            }
            let has_null = versions.iter().any(|version| version.id.is_none());
            assert_eq!(find(view, place, &VersionId::Null)?.is_some(), has_null);
        }
        let blobs = view.keys(&BLOBS, &Scan::all())?;
        let mut expected: Vec<_> = self.model.iter().flatten().filter_map(|version| version.blob.clone()).collect();
        expected.sort();
        assert_eq!(blobs, expected, "bytes stay as long as a version has them");
        let markers_current = self.model.iter().filter(|v| v.first().is_some_and(|v| v.blob.is_none())).count();
        let rows = view.scan(&VERSIONS, &Scan::all())?;
        assert_eq!(rows.iter().filter(|row| row.value.noncurrent_since_ms.is_none()).count(), markers_current);
        Ok(())
    }
}

fn object(blob: &str, modified_ms: u64) -> ObjectRow {
    ObjectRow {
        owner: "111111111111".to_owned(),
        size: 1,
        etag: blob.to_owned(),
        modified_ms,
        content: Content::Small { blob: blob.to_owned() },
        description: Description::default(),
        checksum: None,
        tags: Vec::new(),
        acl: Acl::default(),
        version: Version::default(),
    }
}

fn modelled(standing: &Standing) -> Modelled {
    let blob = match standing {
        Standing::Object(row) => Some(row.etag.clone()),
        Standing::DeleteMarker(_) => None,
    };
    Modelled { id: standing.version().id.clone(), blob }
}

fn id_of(version: &Modelled) -> VersionId {
    version.id.as_deref().map_or(VersionId::Null, |id| VersionId::parse(id).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leaves_the_versions_that_aws_would(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
    }
}

#[test]
fn a_noncurrent_version_knows_since_when_until_it_is_current_again() {
    let mut world = World::new();
    world.step(&Step::Put(0));
    world.step(&Step::Switch(Versioning::Enabled));
    world.step(&Step::Delete(0));
    world.step(&Step::Put(0));
    let since = |world: &World| {
        let rows = world.store.read(|view| view.scan(&VERSIONS, &Scan::all())).map_err(|e: StoreError| e).unwrap();
        rows.into_iter().map(|row| row.value.noncurrent_since_ms).collect::<Vec<_>>()
    };
    // The marker since the second put, the first object since the marker.
    assert_eq!(since(&world), [Some(1004), Some(1003)]);
    world.step(&Step::DeleteVersion(0, 0));
    assert_eq!(since(&world), [None, Some(1003)], "the marker is current again");
    world.step(&Step::DeleteVersion(0, 0));
    assert!(since(&world).is_empty(), "the object is current again");
    world.check();
}
