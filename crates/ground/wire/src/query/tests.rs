//! The Query codec against Smithy's protocol tests, AWS's old examples, and chance.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::node::{DEPTH_MAX, SLOTS_MAX};
use crate::schema::{Dialect, List, Map, Member};
use crate::testing::{ECHO, EVERYTHING, Everything, SERVICE, everything};
use crate::value::{EpochMs, Writer};

fn read(form: &str) -> Result<Everything, ApiError> {
    parse(Dialect::Aws, &EVERYTHING, form.as_bytes()).map(|node| Everything::bind(node).unwrap())
}

fn written(value: &Everything) -> String {
    let body = response(&SERVICE, &ECHO, "the-id", value).body;
    let body = String::from_utf8(body.to_vec()).unwrap();
    let start = r#"<?xml version="1.0"?><EchoResponse xmlns="https://example.com/"><EchoResult>"#;
    let end = "</EchoResult><ResponseMetadata><RequestId>the-id</RequestId></ResponseMetadata></EchoResponse>";
    body.strip_prefix(start).and_then(|body| body.strip_suffix(end)).expect(&body).to_owned()
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn text(text: &str) -> Everything {
    Everything { foo: Some(text.to_owned()), ..Everything::default() }
}

#[test]
fn smithys_forms_are_read_as_smithy_says() {
    let nothing = Everything::default();
    let pairs = || [("bar".to_owned(), "Bar".to_owned()), ("foo".to_owned(), "Foo".to_owned())].into();
    let cases = [
        ("", nothing.clone()),
        ("Foo=val1&Baz=true", Everything { baz: Some(true), ..text("val1") }),
        ("Baz=false", Everything { baz: Some(false), ..nothing.clone() }),
        ("Bam=10", Everything { bam: Some(10), ..nothing.clone() }),
        ("Boo=10.8", Everything { boo: Some(10.8), ..nothing.clone() }),
        ("Qux=dmFsdWU%3D", Everything { qux: Some("value".into()), ..nothing.clone() }),
        ("Moment=2015-01-25T08%3A00%3A00Z", Everything { moment: Some(EpochMs(1_422_172_800_000)), ..nothing.clone() }),
        (
            "ListArg.member.1=foo&ListArg.member.2=bar",
            Everything { list_arg: strings(&["foo", "bar"]), ..nothing.clone() },
        ),
        ("ListArg=", nothing.clone()),
        ("Flat.1=1&Flat.2=2", Everything { flat_list: vec![1, 2], ..nothing.clone() }),
        (
            "RenamedList.item.1=A&RenamedList.item.2=B",
            Everything { renamed_list: strings(&["A", "B"]), ..nothing.clone() },
        ),
        (
            "Entry.1.Foo=hello&Entry.2.Foo=hola",
            Everything { structures: vec![text("hello"), text("hola")], ..nothing.clone() },
        ),
        (
            "MapArg.entry.1.key=foo&MapArg.entry.1.value=Foo&MapArg.entry.2.key=bar&MapArg.entry.2.value=Bar",
            Everything { map_arg: pairs(), ..nothing.clone() },
        ),
        ("Hi.1.K=foo&Hi.1.V=Foo&Hi.2.K=bar&Hi.2.V=Bar", Everything { flat_map: pairs(), ..nothing.clone() }),
        (
            "ComplexMap.entry.1.key=foo&ComplexMap.entry.1.value.Foo=x",
            Everything { complex_map: [("foo".to_owned(), text("x"))].into(), ..nothing.clone() },
        ),
        (
            "Nested.member.1.Foo=foo&Nested.member.1.Nested.member.1.Foo=baz",
            Everything { nested: vec![Everything { nested: vec![text("baz")], ..text("foo") }], ..nothing.clone() },
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(read(&format!("Action=Echo&Version=2020-01-08&{form}")).unwrap(), expected, "{form}");
    }
}

#[test]
fn items_come_in_the_order_of_their_numbers() {
    assert_eq!(read("Flat.10=3&Flat.2=2&Flat.1=1").unwrap().flat_list, [1, 2, 3]);
    assert_eq!(read("Flat.7=2&Flat.4=1").unwrap().flat_list, [1, 2], "gaps don't matter");
}

#[test]
fn a_list_or_map_without_numbers_has_one_item_as_in_awss_old_examples() {
    assert_eq!(read("Flat=5").unwrap().flat_list, [5]);
    let map = read("Hi.K=Policy&Hi.V=x").unwrap().flat_map;
    assert_eq!(map, [("Policy".to_owned(), "x".to_owned())].into());
}

#[test]
fn of_equal_fields_the_last_one_wins() {
    assert_eq!(read("Foo=a&Foo=b").unwrap(), text("b"));
    assert_eq!(field(b"Foo=a&Foo=b", "Foo").as_deref(), Some("b"));
    assert_eq!(
        read("Hi.1.K=a&Hi.1.V=x&Hi.2.K=a&Hi.2.V=y").unwrap().flat_map,
        [("a".to_owned(), "y".to_owned())].into()
    );
}

#[test]
fn names_and_values_are_decoded_before_they_are_read() {
    assert_eq!(read("F%6Fo=a+b%0D%0A%C3%BC").unwrap(), text("a b\r\nü"));
}

#[test]
fn a_form_that_does_not_fit_is_malformed() {
    let forms = [
        "Bam=ten",
        "Bam=",
        "Bam=99999999999",
        "Bam=1.5",
        "Baz=yes",
        "Boo=x",
        "Qux=$",
        "Moment=yesterday",
        "Foo.1=x",
        "Foo.Bar=x",
        "Flat.x=1",
        "Flat.1.2=1",
        "Flat.-1=1",
        "Flat.%2B1=1",
        "Flat.99999999999=1",
        "Entry.1=x",
        "Hi.1.K=a",
        "Hi.1.V=a",
        "Foo=%",
        "Foo=%FF",
    ];
    for form in forms {
        let error = read(form).unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), ("SerializationException", 400), "{form}");
        assert_eq!(error.query_code.as_deref(), Some("MalformedInput"));
    }
}

#[test]
fn unknown_fields_are_skipped() {
    assert_eq!(read("AWSAccessKeyId=x&Fooo=1&Foo=a&Entry2.1.Foo=x&=y&.=z").unwrap(), text("a"));
}

#[test]
fn values_have_a_bound() {
    let many = |count: usize| (1..=count).map(|n| format!("Entry.{n}.Foo=x")).collect::<Vec<_>>().join("&");
    let fitting = SLOTS_MAX / 17 - 1;
    assert_eq!(read(&many(fitting)).unwrap().structures.len(), fitting);
    assert_eq!(read(&many(fitting + 2)).unwrap_err().message, "the request has too many values");
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth: usize| "Nested.member.1.".repeat(depth) + "Foo=x";
    assert!(read(&nested(DEPTH_MAX / 2 - 1)).is_ok());
    assert_eq!(read(&nested(DEPTH_MAX / 2)).unwrap_err().message, "the form is nested too deeply");
    assert!(read(&nested(60_000)).is_err());
}

#[test]
fn smithys_values_are_written_as_smithy_says() {
    let nothing = Everything::default();
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let cases = [
        (nothing.clone(), ""),
        (text("string"), "<Foo>string</Foo>"),
        (text(""), "<Foo></Foo>"),
        (Everything { bam: Some(3), boo: Some(6.5), ..nothing.clone() }, "<Bam>3</Bam><Boo>6.5</Boo>"),
        (Everything { boo: Some(f64::INFINITY), ..nothing.clone() }, "<Boo>Infinity</Boo>"),
        (Everything { baz: Some(true), ..nothing.clone() }, "<Baz>true</Baz>"),
        (Everything { qux: Some("value".into()), ..nothing.clone() }, "<Qux>dmFsdWU=</Qux>"),
        (
            Everything { moment: Some(EpochMs(1_398_796_238_000)), ..nothing.clone() },
            "<Moment>2014-04-29T18:30:38Z</Moment>",
        ),
        (
            Everything { moment: Some(EpochMs(1_398_796_238_120)), ..nothing.clone() },
            "<Moment>2014-04-29T18:30:38.12Z</Moment>",
        ),
        (
            Everything { list_arg: strings(&["foo", "bar"]), ..nothing.clone() },
            "<ListArg><member>foo</member><member>bar</member></ListArg>",
        ),
        (Everything { flat_list: vec![1, 2], ..nothing.clone() }, "<Flat>1</Flat><Flat>2</Flat>"),
        (
            Everything { renamed_list: strings(&["foo"]), ..nothing.clone() },
            "<RenamedList><item>foo</item></RenamedList>",
        ),
        (
            Everything { nested_list: vec![strings(&["a", "b"]), strings(&["c"])], ..nothing.clone() },
            "<NestedList><member><member>a</member><member>b</member></member><member><member>c</member></member></NestedList>",
        ),
        (
            Everything { structures: vec![text("1"), text("3")], ..nothing.clone() },
            "<Entry><Foo>1</Foo></Entry><Entry><Foo>3</Foo></Entry>",
        ),
        (
            Everything { map_arg: map("k", "v"), ..nothing.clone() },
            "<MapArg><entry><key>k</key><value>v</value></entry></MapArg>",
        ),
        (Everything { flat_map: map("a", "A"), ..nothing.clone() }, "<Hi><K>a</K><V>A</V></Hi>"),
        (
            Everything { complex_map: [("foo".to_owned(), text("there"))].into(), ..nothing.clone() },
            "<ComplexMap><entry><key>foo</key><value><Foo>there</Foo></value></entry></ComplexMap>",
        ),
    ];
    for (value, body) in cases {
        assert_eq!(written(&value), body);
    }
}

#[test]
fn a_carriage_return_survives_xml() {
    assert_eq!(written(&text("a\r\n<b>&\"")), "<Foo>a&#13;\n&lt;b&gt;&amp;&quot;</Foo>");
}

#[test]
fn a_character_that_xml_does_not_have_is_replaced_and_its_neighbours_stay() {
    assert_eq!(
        written(&text("a\0b\u{1}\u{8}\u{b}\u{c}\u{e}\u{1f}<")),
        "<Foo>a\u{fffd}b".to_owned() + &"\u{fffd}".repeat(6) + "&lt;</Foo>"
    );
    assert_eq!(written(&text("\u{fffe}x\u{ffff}")), "<Foo>\u{fffd}x\u{fffd}</Foo>");
    let kept = "\t\n \u{7f}\u{fffd}\u{ff5e}\u{feff}\u{ffbe}\u{10ffff}";
    assert_eq!(written(&text(kept)), format!("<Foo>{kept}</Foo>"));
}

#[test]
fn a_success_without_output_has_metadata_only() {
    let response = empty_response(&SERVICE, &ECHO, "the-id");
    let body = "<?xml version=\"1.0\"?><EchoResponse xmlns=\"https://example.com/\"><ResponseMetadata>\
                <RequestId>the-id</RequestId></ResponseMetadata></EchoResponse>";
    assert_eq!((response.status, response.content_type), (200, "text/xml"));
    assert_eq!(response.headers, [("x-amzn-RequestId", "the-id".to_owned())]);
    assert_eq!(response.body, body);
}

#[test]
fn an_error_has_the_query_protocols_code_and_sentence_and_an_empty_detail() {
    let error = ApiError::sender("CustomCodeError", "Hi").with_query_code("Customized").with_query_message("Hi <you>");
    let response = error_response(&SERVICE, "foo-id", &error.with_status(402));
    let body = "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"https://example.com/\"><Error><Type>Sender</Type>\
                <Code>Customized</Code><Message>Hi &lt;you&gt;</Message><Detail/></Error>\
                <RequestId>foo-id</RequestId></ErrorResponse>";
    assert_eq!((response.status, response.content_type), (402, "text/xml"));
    assert_eq!(response.headers, [("x-amzn-RequestId", "foo-id".to_owned())]);
    assert_eq!(response.body, body);
}

#[test]
fn an_unknown_action_is_named() {
    let error = unknown_action(Dialect::Aws, "Frobnicate");
    assert_eq!((error.code.as_ref(), error.status), ("InvalidAction", 400));
    assert_eq!(error.message, "The action Frobnicate is not valid for this endpoint.");
}

/// Writes a value as a client would send it.
#[derive(Default)]
struct FormWriter {
    form: Vec<String>,
    next: String,
    open: Vec<(String, usize, Option<&'static Map>)>,
}

impl FormWriter {
    fn push(&mut self, value: &str) {
        let encoded =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        self.form.push(format!("{}={}", encoded(&self.next), encoded(value)));
    }

    fn enter(&mut self, around: Option<&str>, map: Option<&'static Map>) {
        let path = around.map_or_else(|| self.next.clone(), |around| format!("{}.{around}", self.next));
        self.open.push((path, 0, map));
    }

    fn number(&mut self) -> String {
        let (path, count, _) = self.open.last_mut().unwrap();
        *count += 1;
        format!("{path}.{count}")
    }
}

impl Writer for FormWriter {
    fn member(&mut self, member: &'static Member) {
        let outer = &self.open.last().unwrap().0;
        self.next =
            if outer.is_empty() { member.query_name.to_owned() } else { format!("{outer}.{}", member.query_name) };
    }
    fn begin_structure(&mut self) {
        self.open.push((self.next.clone(), 0, None));
    }
    fn end_structure(&mut self) {
        self.open.pop();
    }
    fn begin_list(&mut self, list: &'static List) {
        self.enter(list.item_name, None);
    }
    fn item(&mut self) {
        self.next = self.number();
    }
    fn end_list(&mut self) {
        self.open.pop();
    }
    fn begin_map(&mut self, map: &'static Map) {
        self.enter(map.entry_name, Some(map));
    }
    fn key(&mut self, key: &str) {
        let pair = self.number();
        let map = self.open.last().unwrap().2.unwrap();
        self.next = format!("{pair}.{}", map.key_name);
        self.push(key);
        self.next = format!("{pair}.{}", map.value_name);
    }
    fn end_entry(&mut self) {}
    fn end_map(&mut self) {
        self.open.pop();
    }
    fn string(&mut self, value: &str) {
        self.push(value);
    }
    fn integer(&mut self, value: i64) {
        self.push(&value.to_string());
    }
    fn double(&mut self, value: f64) {
        self.push(&value.to_string());
    }
    fn boolean(&mut self, value: bool) {
        self.push(&value.to_string());
    }
    fn blob(&mut self, value: &[u8]) {
        self.push(&STANDARD.encode(value));
    }
    fn timestamp(&mut self, EpochMs(ms): EpochMs) {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
        self.push(&moment.format(&Rfc3339).unwrap());
    }
}

/// All text of an XML document, as a parser that keeps to the standard gives it.
fn texts(xml: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut texts = vec![];
    let mut depth = 0;
    let mut current = String::new();
    loop {
        use quick_xml::events::Event;
        match reader.read_event().unwrap() {
            Event::Start(_) => {
                depth += 1;
                current.clear();
            }
            Event::Text(text) => current.push_str(&text.xml10_content().unwrap()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().unwrap() {
                Some(letter) => current.push(letter),
                None => {
                    let name = reference.decode().unwrap();
                    current.push_str(quick_xml::escape::resolve_predefined_entity(&name).unwrap());
                }
            },
            Event::End(_) => {
                depth -= 1;
                texts.push(std::mem::take(&mut current));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    texts
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = parse(Dialect::Aws, &EVERYTHING, &bytes);
        _ = field(&bytes, "Action");
    }

    #[test]
    fn no_paths_make_the_reader_panic(form in r"((Foo|Flat|Hi|Entry|MapArg|Nested|ComplexMap|entry|member|key|K|V|value|1|2|x|\.|=|&|%41|%){0,40})") {
        _ = parse(Dialect::Aws, &EVERYTHING, form.as_bytes());
    }

    #[test]
    fn what_a_client_sends_is_read_as_it_was_meant(value in everything()) {
        let mut writer = FormWriter::default();
        value.write(&Shape::Structure(&EVERYTHING), &mut writer);
        prop_assert_eq!(read(&writer.form.join("&")).unwrap(), value);
    }

    #[test]
    fn what_is_written_is_xml_and_its_text_survives(value in everything()) {
        let xml = written(&value);
        let texts = texts(&format!("<root>{xml}</root>"));
        for text in value.foo.iter().chain(&value.list_arg).chain(value.flat_map.values()) {
            prop_assert!(texts.contains(text), "{:?} not in {}", text, xml);
        }
    }
}
