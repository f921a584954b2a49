//! What the codecs' tests share: a structure with every shape in it, and a service around it.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::node::Node;
use crate::schema::{Dialect, Limits, List, Map, Member, Operation, Service, Shape, Structure, Violations};
use crate::value::{EpochMs, Fields, Unbound, Value, Writer, write_member};

/// One member of every shape, in the forms that Smithy's protocol tests use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Everything {
    pub(crate) foo: Option<String>,
    pub(crate) bam: Option<i32>,
    pub(crate) long: Option<i64>,
    pub(crate) boo: Option<f64>,
    pub(crate) baz: Option<bool>,
    pub(crate) qux: Option<Bytes>,
    pub(crate) moment: Option<EpochMs>,
    pub(crate) list_arg: Vec<String>,
    pub(crate) flat_list: Vec<i32>,
    pub(crate) renamed_list: Vec<String>,
    pub(crate) nested_list: Vec<Vec<String>>,
    pub(crate) structures: Vec<Everything>,
    pub(crate) map_arg: BTreeMap<String, String>,
    pub(crate) flat_map: BTreeMap<String, String>,
    pub(crate) complex_map: BTreeMap<String, Everything>,
    pub(crate) nested: Vec<Everything>,
}

const fn member(name: &'static str, query_name: &'static str, shape: Shape) -> Member {
    Member { name, query_name, xml_name: query_name, required: false, sensitive: false, shape, limits: Limits::NONE }
}

const STRINGS: List = List { item: Shape::String, item_name: Some("member"), written_empty: false };

pub(crate) static EVERYTHING: Structure = Structure {
    name: "Everything",
    members: &[
        member("foo", "Foo", Shape::String),
        member("bam", "Bam", Shape::Integer),
        member("long", "Long", Shape::Long),
        member("boo", "Boo", Shape::Double),
        member("baz", "Baz", Shape::Boolean),
        member("qux", "Qux", Shape::Blob),
        member("moment", "Moment", Shape::Timestamp),
        member("listArg", "ListArg", Shape::List(&STRINGS)),
        member("flatList", "Flat", Shape::List(&List { item: Shape::Integer, item_name: None, written_empty: false })),
        member(
            "renamedList",
            "RenamedList",
            Shape::List(&List { item: Shape::String, item_name: Some("item"), written_empty: false }),
        ),
        member(
            "nestedList",
            "NestedList",
            Shape::List(&List { item: Shape::List(&STRINGS), item_name: Some("member"), written_empty: false }),
        ),
        member(
            "structures",
            "Entry",
            Shape::List(&List { item: Shape::Structure(&EVERYTHING), item_name: None, written_empty: false }),
        ),
        member(
            "mapArg",
            "MapArg",
            Shape::Map(&Map { value: Shape::String, entry_name: Some("entry"), key_name: "key", value_name: "value" }),
        ),
        member(
            "flatMap",
            "Hi",
            Shape::Map(&Map { value: Shape::String, entry_name: None, key_name: "K", value_name: "V" }),
        ),
        member(
            "complexMap",
            "ComplexMap",
            Shape::Map(&Map {
                value: Shape::Structure(&EVERYTHING),
                entry_name: Some("entry"),
                key_name: "key",
                value_name: "value",
            }),
        ),
        member(
            "nested",
            "Nested",
            Shape::List(&List { item: Shape::Structure(&EVERYTHING), item_name: Some("member"), written_empty: false }),
        ),
    ],
};

impl Value for Everything {
    fn bind(node: Node<'_>) -> Result<Self, Unbound> {
        let mut fields = Fields::of(node)?;
        Ok(Self {
            foo: fields.take(0)?,
            bam: fields.take(1)?,
            long: fields.take(2)?,
            boo: fields.take(3)?,
            baz: fields.take(4)?,
            qux: fields.take(5)?,
            moment: fields.take(6)?,
            list_arg: fields.take(7)?,
            flat_list: fields.take(8)?,
            renamed_list: fields.take(9)?,
            nested_list: fields.take(10)?,
            structures: fields.take(11)?,
            map_arg: fields.take(12)?,
            flat_map: fields.take(13)?,
            complex_map: fields.take(14)?,
            nested: fields.take(15)?,
        })
    }

    fn write(&self, _: &Shape, out: &mut dyn Writer) {
        let members = EVERYTHING.members;
        out.begin_structure();
        write_member(out, &members[0], &self.foo);
        write_member(out, &members[1], &self.bam);
        write_member(out, &members[2], &self.long);
        write_member(out, &members[3], &self.boo);
        write_member(out, &members[4], &self.baz);
        write_member(out, &members[5], &self.qux);
        write_member(out, &members[6], &self.moment);
        write_member(out, &members[7], &self.list_arg);
        write_member(out, &members[8], &self.flat_list);
        write_member(out, &members[9], &self.renamed_list);
        write_member(out, &members[10], &self.nested_list);
        write_member(out, &members[11], &self.structures);
        write_member(out, &members[12], &self.map_arg);
        write_member(out, &members[13], &self.flat_map);
        write_member(out, &members[14], &self.complex_map);
        write_member(out, &members[15], &self.nested);
        out.end_structure();
    }
}

pub(crate) static ECHO: Operation =
    Operation { name: "Echo", input: &EVERYTHING, output: Some(&EVERYTHING), result_wrapper: Some("EchoResult") };

pub(crate) static SERVICE: Service = Service {
    name: "testing",
    shape_namespace: "aws.protocoltests",
    target_prefix: Some("Testing"),
    version: "2020-01-08",
    xml_namespace: "https://example.com/",
    dialect: Dialect::Aws,
    violations: Violations::Parameter,
    operations: &[&ECHO],
};

/// Text that XML can carry, and whose escapes every protocol must get right.
fn text() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        4 => prop::char::range(' ', '~'),
        1 => prop::sample::select(vec!['\t', '\n', '\r', '"', '\\', '&', '<', '>', '%', '+', '=', '.']),
        1 => prop::char::range('\u{a0}', '\u{d7ff}'),
        1 => prop::char::range('\u{10000}', '\u{1ffff}'),
    ];
    prop::collection::vec(letter, 0..12).prop_map(String::from_iter)
}

/// As `text`, but never empty: in a form, an empty item can't be told from no item.
fn filled() -> impl Strategy<Value = String> {
    text().prop_map(|text| text + "x")
}

fn leaf() -> impl Strategy<Value = Everything> {
    let scalars = (
        prop::option::of(text()),
        prop::option::of(any::<i32>()),
        prop::option::of(any::<i64>()),
        prop::option::of(prop::num::f64::NORMAL),
        prop::option::of(any::<bool>()),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        // From the year 0 to 9999, which ISO 8601 can write.
        prop::option::of(-62_167_219_200_000_i64..253_402_300_799_000),
    );
    let collections = (
        prop::collection::vec(filled(), 0..4),
        prop::collection::vec(any::<i32>(), 0..4),
        prop::collection::vec(filled(), 0..12),
        prop::collection::vec(prop::collection::vec(filled(), 1..3), 0..3),
        prop::collection::btree_map(text(), text(), 0..4),
        prop::collection::btree_map(text(), text(), 0..4),
    );
    (scalars, collections).prop_map(|((foo, bam, long, boo, baz, qux, moment), collections)| {
        let (list_arg, flat_list, renamed_list, nested_list, map_arg, flat_map) = collections;
        Everything {
            foo,
            bam,
            long,
            boo,
            baz,
            qux: qux.map(Bytes::from),
            moment: moment.map(EpochMs),
            list_arg,
            flat_list,
            renamed_list,
            nested_list,
            map_arg,
            flat_map,
            ..Everything::default()
        }
    })
}

/// Any value, nested up to three deep. A nested one is never empty, which a form couldn't say.
pub(crate) fn everything() -> impl Strategy<Value = Everything> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let inner = inner.prop_map(|value| Everything { baz: value.baz.or(Some(true)), ..value });
        (
            leaf(),
            prop::collection::vec(inner.clone(), 0..3),
            prop::collection::btree_map(text(), inner.clone(), 0..2),
            prop::collection::vec(inner, 0..2),
        )
            .prop_map(|(leaf, structures, complex_map, nested)| Everything {
                structures,
                complex_map,
                nested,
                ..leaf
            })
    })
}
