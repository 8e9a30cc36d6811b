//! The TypeScript types that examples/cdk uses are those of the schemas.

#[path = "../../examples/generate/typescript.rs"]
mod generator;

#[test]
fn the_types_of_the_example_are_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(generator::PATH);
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let now = generator::typescript(sotto_crds::crds());
    assert!(there == now, "{} is stale: run `cargo run --release -p sotto-crds --example generate`", generator::PATH);
}

#[test]
fn fields_are_typed_as_in_the_schema() {
    let text = generator::typescript(sotto_crds::crds());
    for line in [
        "  readonly networkRef: UserNetworkRef;",
        "  readonly publicURL?: string;",
        "  readonly mode?: 'Disabled' | 'Restricted';",
        "  readonly peers?: readonly NetworkFederationPeers[];",
        "  readonly limits?: { readonly [key: string]: number | string };",
        "  readonly port?: number;",
        "export function retentionPolicy(metadata: ObjectMeta, spec: RetentionPolicySpec): RetentionPolicy {",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
    }
    // No name stands for two things.
    let mut names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("export interface ")).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), count > 20), (count, true));
}
