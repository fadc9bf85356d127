//! Secrets from AWS Systems Manager Parameter Store: one `GetParameters` with decryption.
//!
//! What a newcomer would get wrong: a missing parameter is no error but a name in `invalid_parameters`.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, timeout::TimeoutConfig};
use aws_sdk_ssm::error::DisplayErrorContext;
use secrecy::SecretString;

use super::file::name;
use super::{Found, SecretsError, Wanted};
use crate::config::SecretsConfig;
use crate::text::printable;

/// The SDK waits for ever unless told otherwise.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn find(wanted: [Wanted; 2], config: &SecretsConfig) -> Result<[Found; 2], SecretsError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(
        TimeoutConfig::builder().operation_timeout(OPERATION_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build(),
    );
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let aws = loader.load().await;
    let region = aws.region().map(ToString::to_string);
    let Some(region) = region else {
        let reason = match config.source {
            Some(_) => "no AWS region is known",
            None => {
                "GITHUB_TOKEN is not set, no file is in $CREDENTIALS_DIRECTORY, and no AWS region is known for Parameter Store"
            }
        };
        return Err(SecretsError::Unreachable {
            place: "any secret".to_owned(),
            reason: reason.to_owned(),
            hint: "set GITHUB_TOKEN; or, for Parameter Store, secrets.region or AWS_REGION, which an instance of EC2 \
                   knows by itself"
                .to_owned(),
        });
    };
    let names = wanted.map(|wanted| name(wanted, config).to_owned());
    let answer = aws_sdk_ssm::Client::new(&aws)
        .get_parameters()
        .set_names(Some(names.to_vec()))
        .with_decryption(true)
        .send()
        .await
        .map_err(|error| SecretsError::Unreachable {
            place: format!("SSM Parameter Store in {region}"),
            reason: printable(&DisplayErrorContext(&error).to_string(), 400),
            hint: format!(
                "allow ssm:GetParameters on {} (and kms:Decrypt) to the role ghbk runs with; `aws sts \
                 get-caller-identity` shows it",
                names.join(" and ")
            ),
        })?;
    Ok(wanted.map(|wanted| {
        let name = name(wanted, config);
        let value = answer
            .parameters()
            .iter()
            // Asked by name, answered by name; asked by ARN, answered by ARN in another field.
            .find(|parameter| parameter.name() == Some(name) || parameter.arn() == Some(name))
            .and_then(|parameter| parameter.value())
            .map(SecretString::from);
        Found {
            value,
            place: format!("the SSM parameter {name} in {region}"),
            hint: format!(
                "aws ssm put-parameter --region {region} --name {name} --type SecureString --value file://{}.txt",
                wanted_file(wanted)
            ),
        }
    }))
}

/// A file, not the value: a value on a command line stays in the shell's history.
fn wanted_file(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::GitHubToken => "token",
        Wanted::GitHubAppKey => "app-key",
        Wanted::SlackWebhookUrl => "webhook",
    }
}
