//! Calls as forms, answers as XML: short to write, and through the same wire as a client's.

use bytes::Bytes;

use crate::platform::Platform;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The text of the first element of that name; the call must have succeeded.
    #[track_caller]
    pub(crate) fn text(&self, element: &str) -> String {
        let all = self.texts(element);
        all.into_iter().next().unwrap_or_else(|| panic!("no {element} in {}", self.body))
    }

    /// The texts of all elements of that name, in order.
    #[track_caller]
    pub(crate) fn texts(&self, element: &str) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let parts = self.body.split(&open).skip(1);
        parts.filter_map(|part| Some(part.split_once(&close)?.0.to_owned())).collect()
    }

    /// `Code: sentence` of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> String {
        assert!((400..500).contains(&self.status), "{} {}", self.status, self.body);
        let part = |element: &str| {
            let (_, rest) = self.body.split_once(&format!("<{element}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        format!("{}: {}", part("Code"), part("Message").replace("&quot;", "\"").replace("&apos;", "'"))
    }

    /// The code of a refusal.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.refusal().split_once(':').unwrap().0.to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.body);
        self
    }
}

impl Platform {
    /// Asks with a form whose values need no escapes, or have them.
    pub(crate) async fn ask(&self, operation: &str, form: &str) -> Answer {
        let form = Bytes::from(format!("Action={operation}&Version=2016-11-15&{form}"));
        let answer = self.ec2.handle(&self.call, operation, form).await;
        Answer { status: answer.status, body: String::from_utf8(answer.body.to_vec()).unwrap() }
    }

    /// A VPC of this range; its id.
    pub(crate) async fn vpc(&self, cidr: &str) -> String {
        self.ask("CreateVpc", &format!("CidrBlock={cidr}")).await.text("vpcId")
    }

    /// A subnet; its id.
    pub(crate) async fn subnet(&self, vpc: &str, cidr: &str) -> String {
        self.ask("CreateSubnet", &format!("VpcId={vpc}&CidrBlock={cidr}")).await.text("subnetId")
    }

    /// A security group; its id.
    pub(crate) async fn group(&self, vpc: &str, name: &str) -> String {
        let form = format!("VpcId={vpc}&GroupName={name}&GroupDescription={name}");
        self.ask("CreateSecurityGroup", &form).await.text("groupId")
    }
}

/// Base64 as a form carries it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('+', "%2B").replace('=', "%3D")
}

impl Platform {
    /// Asks again and again until the answer fits.
    pub(crate) async fn until(&self, operation: &str, form: &str, fits: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..2_000 {
            let answer = self.ask(operation, form).await;
            if fits(&answer) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        panic!("{operation} {form} never fitted: {}", self.ask(operation, form).await.body)
    }

    /// Waits for an instance's state.
    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Answer {
        let state = format!("<name>{state}</name>");
        self.until("DescribeInstances", &format!("InstanceId.1={id}"), |answer| answer.body.contains(&state)).await
    }
}

/// Waits until it holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("it never held")
}
