//! What is special about these services' names on the wire, and what the overlays correct.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers of an integration test"
)]

use api::{ec2, elb, iam};
use wire::schema::{Service, Violations};
use wire::value::Value;
use wire::{ApiError, query, validate};

/// A form, parsed, checked and bound as an operation's input.
fn input<T: Value>(service: &Service, operation: &str, form: &str) -> Result<T, ApiError> {
    let operation = service.operation(operation).unwrap();
    let node = query::parse(service.dialect, operation.input, form.as_bytes())?;
    validate::check(service.violations, operation.input, &node)?;
    Ok(T::bind(node).unwrap())
}

fn output(service: &Service, operation: &str, output: &impl Value) -> String {
    let response = query::response(service, service.operation(operation).unwrap(), "the-id", output);
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn a_load_balancer_is_asked_for_with_members() {
    let form = "LoadBalancerName=web&Listeners.member.1.Protocol=HTTPS&Listeners.member.1.LoadBalancerPort=443\
                &Listeners.member.1.InstancePort=80&Listeners.member.1.SSLCertificateId=arn&AvailabilityZones.member.1=a\
                &Tags.member.1.Key=k";
    let input: elb::CreateLoadBalancerInput = input(&elb::SERVICE, "CreateLoadBalancer", form).unwrap();
    let listener = &input.listeners[0];
    assert_eq!((listener.load_balancer_port, listener.instance_port), (443, 80));
    assert_eq!(listener.ssl_certificate_id.as_deref(), Some("arn"));
    assert_eq!((input.availability_zones, input.tags[0].key.as_str()), (vec!["a".to_owned()], "k"));
}

#[test]
fn elb_words_violations_as_constraints_and_allows_the_idle_timeouts_that_its_documentation_does() {
    assert_eq!(elb::SERVICE.violations, Violations::Constraint);
    let modify = |timeout: u32| {
        let form = format!("LoadBalancerName=web&LoadBalancerAttributes.ConnectionSettings.IdleTimeout={timeout}");
        input::<elb::ModifyLoadBalancerAttributesInput>(&elb::SERVICE, "ModifyLoadBalancerAttributes", &form)
    };
    assert!(modify(4000).is_ok());
    let error = modify(4001).unwrap_err();
    assert_eq!(error.code, "ValidationError");
    assert!(error.message.ends_with("Member must have value less than or equal to 4000"), "{error}");
    let missing = input::<elb::DeleteLoadBalancerInput>(&elb::SERVICE, "DeleteLoadBalancer", "").unwrap_err();
    assert_eq!(
        missing.message,
        "1 validation error detected: Value null at 'loadBalancerName' failed to satisfy constraint: Member must not be null"
    );
}

#[test]
fn elb_writes_lists_that_are_empty() {
    let description = elb::LoadBalancerDescription { instances: vec![], ..Default::default() };
    let answer = elb::DescribeLoadBalancersOutput { load_balancer_descriptions: vec![description], next_marker: None };
    let xml = output(&elb::SERVICE, "DescribeLoadBalancers", &answer);
    for list in ["AvailabilityZones", "BackendServerDescriptions", "Instances", "SecurityGroups", "Subnets"] {
        assert!(xml.contains(&format!("<{list}></{list}>")), "{list} in {xml}");
    }
}

#[test]
fn elbs_errors_have_their_old_codes() {
    let error = elb::errors::access_point_not_found_exception("");
    assert_eq!((error.query_code.as_deref(), error.status), (Some("LoadBalancerNotFound"), 400));
    let error = elb::errors::invalid_end_point_exception("");
    assert_eq!(error.query_code.as_deref(), Some("InvalidInstance"));
    assert_eq!(elb::errors::invalid_configuration_request_exception("").status, 409);
}

#[test]
fn ec2s_lists_are_flat_in_forms_and_wrapped_in_xml() {
    let form =
        "Filter.1.Name=tag%3ATeam&Filter.1.Value.1=a&Filter.1.Value.2=b&InstanceId.1=i-1&MaxResults=5&DryRun=false";
    let input: ec2::DescribeInstancesInput = input(&ec2::SERVICE, "DescribeInstances", form).unwrap();
    let filter = ec2::Filter { name: Some("tag:Team".into()), values: vec!["a".into(), "b".into()] };
    assert_eq!((&input.filters, &input.instance_ids), (&vec![filter], &vec!["i-1".to_owned()]));
    assert_eq!((input.max_results, input.dry_run), (Some(5), Some(false)));
    let tag = ec2::Tag { key: Some("k".into()), value: Some("v".into()) };
    let instance = ec2::Instance { tags: vec![tag], ..Default::default() };
    let reservation = ec2::RunInstancesOutput { instances: vec![instance], ..Default::default() };
    let answer = ec2::DescribeInstancesOutput { reservations: vec![reservation], next_token: None };
    let xml = output(&ec2::SERVICE, "DescribeInstances", &answer);
    assert!(xml.contains("<tagSet><item><key>k</key><value>v</value></item></tagSet>"), "{xml}");
    assert!(
        !output(
            &ec2::SERVICE,
            "DescribeVpcs",
            &ec2::DescribeVpcsOutput { vpcs: vec![ec2::Vpc::default()], ..Default::default() }
        )
        .contains("tagSet")
    );
}

#[test]
fn ec2_names_members_in_forms_by_their_xml_name_with_a_capital() {
    let form = "GroupId=sg-1&IpPermissions.1.FromPort=80&IpPermissions.1.Groups.1.GroupId=sg-2\
                &IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0%2F0";
    let input: ec2::AuthorizeSecurityGroupIngressInput =
        input(&ec2::SERVICE, "AuthorizeSecurityGroupIngress", form).unwrap();
    let permission = &input.ip_permissions[0];
    assert_eq!(permission.from_port, Some(80));
    assert_eq!(permission.user_id_group_pairs[0].group_id.as_deref(), Some("sg-2"));
    assert_eq!(permission.ip_ranges[0].cidr_ip.as_deref(), Some("0.0.0.0/0"));
}

#[test]
fn a_private_key_shows_in_no_debug_text() {
    let input = iam::UploadServerCertificateInput {
        server_certificate_name: "shop".into(),
        private_key: "hunter2".into(),
        ..Default::default()
    };
    let shown = format!("{input:?}");
    assert!(shown.contains("shop") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn iam_writes_an_empty_listing_but_no_empty_tags() {
    let listing = iam::ListServerCertificatesOutput::default();
    let xml = output(&iam::SERVICE, "ListServerCertificates", &listing);
    assert!(xml.contains("<ServerCertificateMetadataList></ServerCertificateMetadataList>"), "{xml}");
    let xml = output(&iam::SERVICE, "GetServerCertificate", &iam::GetServerCertificateOutput::default());
    assert!(!xml.contains("Tags"), "{xml}");
    let error = iam::errors::no_such_entity_exception("");
    assert_eq!((error.query_code.as_deref(), error.status), (Some("NoSuchEntity"), 404));
}
