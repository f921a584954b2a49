//! EC2's dialect against the relevant of Smithy's `ec2Query` protocol tests.

use bytes::Bytes;

use crate::error::ApiError;
use crate::node::Node;
use crate::query;
use crate::schema::{Dialect, Limits, List, Member, Operation, Service, Shape, Structure, Violations};
use crate::value::{Fields, Unbound, Value, Writer, write_member};

/// What `QueryLists` and `XmlLists` have, under EC2's two names for each member.
#[derive(Clone, Debug, Default, PartialEq)]
struct Lists {
    text: Option<String>,
    list: Vec<String>,
    structures: Vec<Lists>,
    renamed: Vec<String>,
    left_out: Vec<String>,
    flag: Option<bool>,
}

const fn member(name: &'static str, query_name: &'static str, xml_name: &'static str, shape: Shape) -> Member {
    Member { name, query_name, xml_name, required: false, sensitive: false, shape, limits: Limits::NONE }
}

const ITEMS: List = List { item: Shape::String, item_name: Some("item"), written_empty: true };

static LISTS: Structure = Structure {
    name: "Lists",
    members: &[
        Member { required: true, ..member("Text", "TextInForms", "text", Shape::String) },
        member("ListArg", "ListArg", "listArg", Shape::List(&ITEMS)),
        member(
            "ComplexListArg",
            "ComplexListArg",
            "complexListArg",
            Shape::List(&List { item: Shape::Structure(&LISTS), item_name: Some("item"), written_empty: false }),
        ),
        member("ListArgWithXmlName", "Hi", "hi", Shape::List(&ITEMS)),
        member("LeftOut", "LeftOut", "leftOut", Shape::List(&List { written_empty: false, ..ITEMS })),
        member("Flag", "Flag", "flag", Shape::Boolean),
    ],
};

impl Value for Lists {
    fn bind(node: Node<'_>) -> Result<Self, Unbound> {
        let mut fields = Fields::of(node)?;
        Ok(Self {
            text: fields.take(0)?,
            list: fields.take(1)?,
            structures: fields.take(2)?,
            renamed: fields.take(3)?,
            left_out: fields.take(4)?,
            flag: fields.take(5)?,
        })
    }

    fn write(&self, _: &Shape, out: &mut dyn Writer) {
        out.begin_structure();
        write_member(out, &LISTS.members[0], &self.text);
        write_member(out, &LISTS.members[1], &self.list);
        write_member(out, &LISTS.members[2], &self.structures);
        write_member(out, &LISTS.members[3], &self.renamed);
        write_member(out, &LISTS.members[4], &self.left_out);
        write_member(out, &LISTS.members[5], &self.flag);
        out.end_structure();
    }
}

static OPERATION: Operation =
    Operation { name: "QueryLists", input: &LISTS, output: Some(&LISTS), result_wrapper: Some("QueryListsResult") };

static SERVICE: Service = Service {
    name: "testing",
    shape_namespace: "aws.protocoltests.ec2",
    target_prefix: None,
    version: "2020-01-08",
    xml_namespace: "https://example.com/",
    dialect: Dialect::Ec2,
    violations: Violations::Ec2,
    operations: &[&OPERATION],
};

fn parsed(form: &str) -> Result<Lists, ApiError> {
    query::parse(Dialect::Ec2, &LISTS, form.as_bytes()).map(|node| Lists::bind(node).unwrap())
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).unwrap()
}

#[test]
fn lists_of_a_form_are_flat_whatever_xml_puts_around_their_items() {
    let nothing = Lists::default();
    let hello = Lists { text: Some("hello".into()), ..nothing.clone() };
    let cases = [
        ("", nothing.clone()),
        ("ListArg.1=foo&ListArg.2=bar", Lists { list: strings(&["foo", "bar"]), ..nothing.clone() }),
        ("ComplexListArg.1.TextInForms=hello", Lists { structures: vec![hello.clone()], ..nothing.clone() }),
        ("Hi.1=A&Hi.2=B", Lists { renamed: strings(&["A", "B"]), ..nothing.clone() }),
        ("TextInForms=hello", hello),
        ("Flag=true", Lists { flag: Some(true), ..nothing }),
    ];
    for (form, expected) in cases {
        assert_eq!(parsed(&format!("Action=QueryLists&Version=2020-01-08&{form}")), Ok(expected), "{form}");
    }
}

#[test]
fn a_parameter_that_the_operation_does_not_know_is_refused_by_name() {
    for (form, name) in [
        ("Text=x", "Text"),
        ("Descripton=x", "Descripton"),
        ("ListArg.item.1=x&ListArg.1=y", "item"),
        ("ComplexListArg.1.Foo=x", "Foo"),
    ] {
        let error = parsed(form).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(error.message.contains(name), "{form}: {error}");
    }
    let error = parsed("Descripton=x").unwrap_err();
    assert_eq!((&*error.code, &*error.message), ("UnknownParameter", "The parameter Descripton is not recognized"));
}

#[test]
fn what_a_signature_adds_to_a_form_is_no_unknown_parameter() {
    let form = "AWSAccessKeyId=a&Signature=b&SignatureMethod=HmacSHA256&SignatureVersion=2&Timestamp=t&Expires=1&\
                SecurityToken=t&X-Amz-Date=d&x-amz-signature=s&&TextInForms=hello";
    assert_eq!(parsed(form).unwrap().text.as_deref(), Some("hello"));
}

#[test]
fn a_value_of_another_kind_is_an_invalid_value() {
    let error = parsed("Flag=perhaps").unwrap_err();
    assert_eq!((&*error.code, &*error.message), ("InvalidParameterValue", "perhaps is not a valid boolean"));
    assert_eq!(parsed("Flag=%zz").unwrap_err().code, "MalformedQueryString");
}

#[test]
fn an_answer_stands_in_its_root_and_empty_lists_are_written_where_the_schema_says_so() {
    let output = Lists {
        text: Some("a&b".into()),
        list: strings(&["foo", "bar"]),
        structures: vec![Lists { flag: Some(false), ..Lists::default() }],
        ..Lists::default()
    };
    let response = query::response(&SERVICE, &OPERATION, "the-id", &output);
    assert_eq!(
        text(&response.body),
        "<?xml version=\"1.0\"?><QueryListsResponse xmlns=\"https://example.com/\"><requestId>the-id</requestId>\
         <text>a&amp;b</text><listArg><item>foo</item><item>bar</item></listArg>\
         <complexListArg><item><listArg></listArg><hi></hi><flag>false</flag></item></complexListArg><hi></hi>\
         </QueryListsResponse>"
    );
    assert_eq!((response.status, response.content_type), (200, "text/xml"));
    assert_eq!(response.headers, [("x-amzn-RequestId", "the-id".to_owned())]);
}

#[test]
fn a_success_without_output_says_return_true() {
    let response = query::empty_response(&SERVICE, &OPERATION, "the-id");
    assert_eq!(
        text(&response.body),
        "<?xml version=\"1.0\"?><QueryListsResponse xmlns=\"https://example.com/\"><requestId>the-id</requestId>\
         <return>true</return></QueryListsResponse>"
    );
}

#[test]
fn an_error_stands_among_errors() {
    let error = ApiError::sender("InvalidGreeting", "Hi <you>").with_status(402);
    let response = query::error_response(&SERVICE, "foo-id", &error);
    assert_eq!(
        text(&response.body),
        "<?xml version=\"1.0\"?><Response><Errors><Error><Code>InvalidGreeting</Code><Message>Hi &lt;you&gt;</Message>\
         </Error></Errors><RequestID>foo-id</RequestID></Response>"
    );
    assert_eq!(response.status, 402);
}

#[test]
fn a_missing_parameter_is_named_as_forms_name_it_and_without_a_full_stop() {
    let check = |form: &str| {
        let node = query::parse(Dialect::Ec2, &LISTS, form.as_bytes()).unwrap();
        crate::validate::check(Violations::Ec2, &LISTS, &node).unwrap_err()
    };
    let error = check("Flag=true");
    assert_eq!(
        (&*error.code, &*error.message),
        ("MissingParameter", "The request must contain the parameter TextInForms")
    );
    let nested = check("TextInForms=a&ComplexListArg.1.TextInForms=a&ComplexListArg.2.Flag=true");
    assert_eq!(nested.message, "The request must contain the parameter ComplexListArg.2.TextInForms");
}

#[test]
fn an_unknown_action_is_named_in_ec2s_words() {
    let error = query::unknown_action(Dialect::Ec2, "Frobnicate");
    assert_eq!(error.message, "The action Frobnicate is not valid for this web service.");
}
