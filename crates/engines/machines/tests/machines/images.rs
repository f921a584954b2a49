//! What instances' root file systems are laid over.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::lab::{Lab, group, may_be_privileged};

#[tokio::test(flavor = "multi_thread")]
async fn layers_lie_over_the_image_and_are_never_written_to() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let layers = tempfile::tempdir().unwrap();
    let tool = layers.path().join("opt/aws/bin/tool");
    std::fs::create_dir_all(tool.parent().unwrap()).unwrap();
    std::fs::write(&tool, "#!/bin/sh\necho the tool\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec =
        lab.spec(5, "#!/bin/sh\n/opt/aws/bin/tool\necho changed >/opt/aws/bin/tool\ncat /opt/aws/bin/tool\n");
    spec.image.layers.push(layers.path().to_owned());
    let id = lab.launch_spec(5, spec, &[group("open")]).await;
    lab.wait_for_console(&id, "the tool\nchanged\n").await;
    assert!(std::fs::read_to_string(&tool).unwrap().contains("the tool"));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tarball_becomes_an_image_of_its_own() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let work = tempfile::tempdir().unwrap();
    let tarball = work.path().join("image.tar");
    // A root file system with a shell and what it needs: the host's own, followed by its libraries.
    let script = format!(
        "set -e; cd /; files=$(ldd /bin/sh /bin/ls /bin/cat | grep -o '/[^ :]*' | sort -u | xargs realpath -s); \
         tar -chf {} bin/sh bin/ls bin/cat $(for file in $files; do echo ${{file#/}}; done)",
        tarball.display()
    );
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    let image = lab.engine.add_image("tiny", &tarball).await.unwrap();
    assert!(lab.engine.add_image("tiny", &tarball).await.is_err());
    assert!(lab.engine.add_image("../tiny", &tarball).await.is_err());
    let broken = work.path().join("broken.tar");
    std::fs::write(&broken, "no tarball").unwrap();
    assert!(lab.engine.add_image("broken", &broken).await.is_err());
    let mut spec = lab.spec(5, "#!/bin/sh\necho only $(ls /bin)\ncat /etc/hostname\n");
    spec.image = image.clone();
    let id = lab.launch_spec(5, spec, &[group("open")]).await;
    lab.wait_for_console(&id, "only cat ls sh\nip-5.ec2.internal\n").await;
    assert_eq!(lab.engine.images().await.unwrap(), [("tiny".to_owned(), image)]);
    lab.engine.terminate(&id).await.unwrap();
    lab.wait_for(&id, machines::InstanceState::Terminated).await;
    lab.engine.remove_image("tiny").await.unwrap();
    assert!(lab.engine.images().await.unwrap().is_empty());
    assert!(!Path::new(&lab.dir()).join("images/tiny").exists());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_baked_in_once_and_found_by_all_that_follow() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let tools = tempfile::tempdir().unwrap();
    let yum = tools.path().join("usr/local/bin/yum");
    std::fs::create_dir_all(yum.parent().unwrap()).unwrap();
    // A package manager that says when it was at work, and fails for one package.
    let script = "#!/bin/sh\n[ \"$3\" = broken ] && { echo no such package; exit 1; }\n\
        echo \"$@\" >>/etc/installed; date +%N >>/etc/installed; echo secret >/tmp/left\n";
    std::fs::write(&yum, script).unwrap();
    std::fs::set_permissions(&yum, std::fs::Permissions::from_mode(0o755)).unwrap();
    let image = machines::Image { root: machines::ImageRoot::Host, layers: vec![tools.path().to_owned()] };
    let error = lab.engine.bake(&image, &["broken".to_owned()]).await.unwrap_err();
    assert!(format!("{error}").contains("no such package"), "{error}");
    let packages = ["httpd".to_owned(), "php".to_owned()];
    let baked = lab.engine.bake(&image, &packages).await.unwrap();
    let again = lab.engine.bake(&image, &["php".to_owned(), "httpd".to_owned()]).await.unwrap();
    assert_eq!(baked, again);
    for number in [5, 6] {
        let user_data =
            "#!/bin/sh\nhead -1 /etc/installed; wc -l </etc/installed; ls /usr/sbin/policy-rc.d; hostname; echo end\n";
        let mut spec = lab.spec(number, user_data);
        spec.image = baked.clone();
        let id = lab.launch_spec(number, spec, &[group("open")]).await;
        let console = lab.wait_for_console(&id, "end\n").await;
        assert!(console.starts_with("-y install httpd php\n2\n") && console.contains("No such file"), "{console}");
        assert!(console.contains(&format!("ip-{number}.ec2.internal")), "{console}");
    }
    assert!(!Path::new("/etc/installed").exists());
    lab.close().await;
}
