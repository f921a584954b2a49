//! Queue ARNs: `arn:aws:sqs:REGION:ACCOUNT:NAME`.
//!
//! Invariant: a [`QueueArn`] borrows from the text it was parsed from; parsing allocates nothing.

/// A queue's ARN, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueArn<'a> {
    /// The region.
    pub(crate) region: &'a str,
    /// The owner's account.
    pub(crate) account: &'a str,
    /// The queue's name.
    pub(crate) name: &'a str,
}

impl<'a> QueueArn<'a> {
    /// Takes an ARN apart; `None` unless it is one of SQS with every part in place.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = arn == "arn"
            && partition.starts_with("aws")
            && service == "sqs"
            && !region.is_empty()
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !name.is_empty()
            && !name.contains(':');
        well_formed.then_some(Self { region, account, name })
    }
}

/// A queue's ARN, written out.
pub(crate) fn render(region: &str, account: &str, name: &str) -> String {
    format!("arn:{}:sqs:{region}:{account}:{name}", partition(region))
}

/// The partition that a region belongs to.
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_comes_apart_and_back_together() {
        let text = render("eu-west-1", "123456789012", "orders");
        assert_eq!(text, "arn:aws:sqs:eu-west-1:123456789012:orders");
        let arn = QueueArn::parse(&text).unwrap();
        assert_eq!((arn.region, arn.account, arn.name), ("eu-west-1", "123456789012", "orders"));
        assert_eq!(render("cn-north-1", "1", "q"), "arn:aws-cn:sqs:cn-north-1:1:q");
        assert_eq!(render("us-gov-west-1", "1", "q"), "arn:aws-us-gov:sqs:us-gov-west-1:1:q");
    }

    #[test]
    fn what_is_no_queue_arn_is_refused() {
        for bad in [
            "",
            "dummy",
            "arn:aws:sns:eu-west-1:123456789012:orders",
            "arn:aws:sqs::123456789012:orders",
            "arn:aws:sqs:eu-west-1:12345:orders",
            "arn:aws:sqs:eu-west-1:123456789012:",
            "arn:aws:sqs:eu-west-1:123456789012:a:b",
        ] {
            assert_eq!(QueueArn::parse(bad), None, "{bad}");
        }
    }
}
