// swift-tools-version: 6.2
import PackageDescription

// CI sets ATTENTION_STRICT=1; a newcomer with a newer compiler is not stopped by a new warning.
let strict = Context.environment["ATTENTION_STRICT"] == "1"

let swift: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ] + (strict ? [.treatAllWarnings(as: .error)] : [])

/// A row of the house: a library that may use only the rows below it, and its tests.
func room(
  _ name: String, uses: [Target.Dependency] = [], testsUse: [Target.Dependency] = [],
  fixtures: [Resource] = []
) -> [Target] {
  [
    .target(name: name, dependencies: uses, swiftSettings: swift),
    .testTarget(
      name: "\(name)Tests", dependencies: [.target(name: name)] + uses + testsUse,
      resources: fixtures, swiftSettings: swift),
  ]
}

let package = Package(
  name: "swift-attention",
  products: [
    .library(name: "Attention", targets: ["Attention"]),
    // libattention, the C interface: `Sources/CAttention/attention.h`.
    .library(name: "attention", type: .dynamic, targets: ["AttentionLibrary"]),
    .library(name: "LanguageModels", targets: ["LanguageModels", "Inference", "ModelStore"]),
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "Tokenizers", targets: ["Tokenizers"]),
    .executable(name: "attn", targets: ["attn"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .executableTarget(
      name: "attn",
      dependencies: [
        "Inference", "LanguageModels", "ModelStore", "Checkpoints", "Tokenizers", "Attention",
        "Devices", "Tensors",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swift),
    .target(
      name: "TestModels", dependencies: ["Checkpoints", "Tensors"], path: "Tests/TestModels",
      swiftSettings: swift),
    // No product: built statically by scripts/test-isa and run on emulated processors.
    .executableTarget(
      name: "kernel-check",
      dependencies: ["Attention", "Checkpoints", "Devices", "Tensors", "CMicrokernels"],
      path: "Sources/KernelCheck", swiftSettings: swift),
    // The header of libattention; its functions are those of AttentionLibrary.
    .systemLibrary(name: "CAttention"),
    // Kernels are useless without optimisation, in debug builds too.
    .target(name: "CMicrokernels", cSettings: [.unsafeFlags(["-O3"])]),
    // Counts what tests allocate, by defining malloc; tests only.
    .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
    // Calls of libcurl through pointers found at run time.
    .target(name: "CTransport"),
  ]
    + room(
      "AttentionLibrary",
      uses: ["Attention", "CAttention", "CMicrokernels", "Devices", "Tensors"])
    + room(
      "Inference", uses: ["LanguageModels", "Tokenizers", "Attention", "Devices", "Tensors"],
      testsUse: ["TestModels"])
    + room(
      "LanguageModels", uses: ["Checkpoints", "Tokenizers", "Attention", "Devices", "Tensors"],
      testsUse: ["TestModels"], fixtures: [.copy("Fixtures")])
    + room("ModelStore", uses: ["CTransport"])
    + room("Checkpoints", uses: ["Tensors"])
    + room("Tokenizers")
    + room(
      "Attention", uses: ["Devices", "Tensors", "CMicrokernels"], testsUse: ["AllocationCounter"],
      fixtures: [.copy("Fixtures")])
    + room("Devices", uses: ["Tensors", "CMicrokernels"])
    + room("Tensors")
)
