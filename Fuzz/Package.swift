// swift-tools-version: 6.2
// Fuzz targets, a package of their own: `scripts/fuzz` builds them with libFuzzer and the address
// sanitizer, which nobody else needs.
import PackageDescription

/// A fuzz target: `Sources/Fuzz<name>/main.swift`, seeds in
/// `Corpus/<name>`, words of the format in `<name>.dict`.
func fuzzTarget(_ name: String, _ product: String) -> Target {
  .executableTarget(
    name: "Fuzz\(name)",
    dependencies: ["CLibFuzzer", .product(name: product, package: "swift-attention")],
    swiftSettings: [.swiftLanguageMode(.v6)])
}

let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "swift-attention", path: "..")],
  targets: [
    .target(name: "CLibFuzzer"),
    fuzzTarget("GGUF", "Checkpoints"),
    fuzzTarget("Safetensors", "Checkpoints"),
    fuzzTarget("TokenizerJSON", "Tokenizers"),
  ]
)
