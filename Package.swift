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
  _ name: String, uses: [Target.Dependency] = [], resources: [Resource] = [],
  testsUse: [Target.Dependency] = [], fixtures: [Resource] = []
) -> [Target] {
  [
    .target(name: name, dependencies: uses, resources: resources, swiftSettings: swift),
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
    .library(name: "Transformer", targets: ["Transformer"]),
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "Tokenizers", targets: ["Tokenizers"]),
    .executable(name: "attn", targets: ["attn"]),
  ],
  traits: [
    .trait(name: "TLS", description: "`attn serve --tls-certificate`: compiles BoringSSL.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .executableTarget(
      name: "attn",
      dependencies: [
        "Serving", "Inference", "LanguageModels", "Transformer", "ModelStore", "Checkpoints",
        "Tokenizers",
        "Attention", "Devices", "Tensors",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: swift),
    .target(
      name: "TestModels", dependencies: ["Checkpoints", "Devices", "Tensors"],
      path: "Tests/TestModels", swiftSettings: swift),
    // No product: built statically by scripts/test-isa and run on emulated processors.
    .executableTarget(
      name: "kernel-check",
      dependencies: ["Attention", "Checkpoints", "Devices", "Tensors", "CMicrokernels"],
      path: "Sources/KernelCheck", swiftSettings: swift),
    // No product: runs generated CUDA kernels as C++ on this processor, or writes their texts.
    .executableTarget(
      name: "cuda-check",
      dependencies: [
        "Inference", "LanguageModels", "Attention", "Checkpoints", "Devices", "StubCUDA", "Tensors",
        "TestModels", "Tokenizers",
      ],
      path: "Sources/CUDACheck",
      exclude: ["emulation.h", "emulation_fibres.h", "emulation_hopper.h"], swiftSettings: swift),
    // No product: run by mpiexec, compares a model that ranks share with the same model whole.
    .executableTarget(
      name: "ranks-check",
      dependencies: ["LanguageModels", "Checkpoints", "Devices", "Tensors", "TestModels"],
      path: "Sources/RanksCheck", swiftSettings: swift),
    // The header of libattention; its functions are those of AttentionLibrary.
    .systemLibrary(name: "CAttention"),
    // Kernels are useless without optimisation, in debug builds too.
    .target(name: "CMicrokernels", cSettings: [.unsafeFlags(["-O3"])]),
    // Counts what tests allocate, by defining malloc; tests only.
    .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
    // A CUDA driver without a GPU, which writes down what it is asked to do.
    .target(name: "StubCUDA", path: "Tests/StubCUDA"),
    // Calls of CUDA's libraries that Swift cannot make through pointers.
    .target(name: "CCUDA"),
    // Calls of libcurl through pointers found at run time.
    .target(name: "CTransport"),
  ]
    + room(
      "Serving",
      uses: [
        "Inference", "LanguageModels", "Tokenizers", "Devices",
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird", condition: .when(traits: ["TLS"])),
        .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["TLS"])),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      resources: [.embedInCode("ChatPage/chat.html")],
      testsUse: ["TestModels"])
    + room(
      "AttentionLibrary",
      uses: ["Attention", "CAttention", "CMicrokernels", "Devices", "Tensors"])
    + room(
      "Inference", uses: ["LanguageModels", "Tokenizers", "Attention", "Devices", "Tensors"],
      testsUse: ["TestModels", "Checkpoints"])
    + room(
      "Transformer", uses: ["Checkpoints", "Attention", "Devices", "Tensors"],
      fixtures: [.copy("Fixtures")])
    + room(
      "LanguageModels", uses: ["Checkpoints", "Tokenizers", "Attention", "Devices", "Tensors"],
      testsUse: ["StubCUDA", "TestModels"], fixtures: [.copy("Fixtures")])
    + room("ModelStore", uses: ["CTransport"])
    + room("Checkpoints", uses: ["Tensors"])
    + room("Tokenizers")
    + room(
      "Attention", uses: ["Devices", "Tensors", "CMicrokernels"],
      testsUse: ["AllocationCounter", "StubCUDA"],
      fixtures: [.copy("Fixtures")])
    + room("Devices", uses: ["Tensors", "CMicrokernels", "CCUDA"], testsUse: ["StubCUDA"])
    + room("Tensors")
)
