// swift-tools-version: 6.0
import PackageDescription

/// The libraries a research script can import, in the order of their dependencies.
let libraries = [
  "Limits", "Tensors", "Rigor", "IR", "Operators", "FileFormats", "Importers", "Specifications", "Domains",
  "Inputs", "LinearPrograms", "Bounds", "SMT", "Search", "Language", "Circuits", "Explanations", "Results",
  "Reports",
]

let package = Package(
  name: "nnverify",
  products: libraries.map { .library(name: $0, targets: [$0]) } + [
    .executable(name: "nnverify", targets: ["nnverify"]),
    .executable(name: "cdt", targets: ["cdt"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
  ],
  targets: [
    // System libraries, each behind one thin module.
    .systemLibrary(
      name: "CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CGMP", providers: [.apt(["libgmp-dev"])]),
    .systemLibrary(name: "CZ3", providers: [.apt(["libz3-dev"])]),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CKernels"),

    // Time, memory and interruption.
    .target(name: "Limits"),

    // Numbers.
    .target(name: "Tensors", dependencies: ["CBLAS", "CKernels"]),
    .target(name: "Rigor", dependencies: ["CGMP"]),

    // The graph and what joins it.
    .target(name: "IR", dependencies: ["Limits", "Tensors"]),
    .target(name: "Operators", dependencies: ["CKernels", "IR", "Tensors", "Rigor"]),

    // Files.
    .target(
      name: "OnnxFormat",
      dependencies: ["FileFormats", .product(name: "SwiftProtobuf", package: "swift-protobuf")]),
    .target(name: "FileFormats", dependencies: ["CZlib"]),
    .target(
      name: "Importers",
      dependencies: [
        "IR", "Limits", "Operators", "Domains", "Tensors", "OnnxFormat", "FileFormats", "Language",
      ]),
    .target(name: "Specifications", dependencies: ["Rigor", "FileFormats"]),

    // Meanings of the kinds, and analyses.
    .target(name: "Domains", dependencies: ["IR", "Operators", "Tensors", "Rigor"]),
    .target(
      name: "Inputs", dependencies: ["Importers", "Domains", "Rigor", "FileFormats", "Specifications"]),
    .target(name: "Bounds", dependencies: ["Domains", "Limits"]),
    .target(name: "LinearPrograms", dependencies: ["Limits", "Rigor"]),
    .target(
      name: "SMT", dependencies: ["Bounds", "Limits", "LinearPrograms", "Specifications", "Importers", "CZ3"]),
    .target(
      name: "Search",
      dependencies: ["Bounds", "Limits", "LinearPrograms", "SMT", "Specifications", "Importers"]),
    .target(name: "Language", dependencies: ["FileFormats"]),
    .target(
      name: "Circuits",
      dependencies: [
        "CKernels", "Domains", "FileFormats", "Importers", "IR", "Language", "Limits", "Operators", "Tensors",
      ]),
    .target(name: "Explanations", dependencies: ["Bounds", "SMT", "Importers", "FileFormats", "Limits"]),

    // Output.
    .target(
      name: "Results",
      dependencies: ["FileFormats", .product(name: "GRDB", package: "GRDB.swift")]),
    .target(name: "Reports", dependencies: ["FileFormats", "Limits", "Rigor"]),

    // Commands: they parse arguments and print.
    .target(
      name: "CommandSupport",
      dependencies: [
        "IR", "FileFormats", "Limits", "Reports",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "nnverify",
      dependencies: [
        "CommandSupport", "Importers", "Inputs", "Limits", "LinearPrograms", "Bounds", "Search", "SMT",
        "Explanations",
        "Results",
        "Reports", "Specifications", "OnnxFormat", "Rigor",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "cdt",
      dependencies: [
        "CKernels", "CommandSupport", "Circuits", "FileFormats", "Importers", "IR", "Language", "Limits",
        "Reports",
        "Tensors",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    // Tests.
    .testTarget(name: "LimitsTests", dependencies: ["Limits"]),
    .testTarget(
      name: "FileFormatsTests", dependencies: ["FileFormats", "TestSupport"],
      exclude: ["write_hdf5_cases.py"],
      resources: [.copy("Fixtures")]),
    .testTarget(name: "RigorTests", dependencies: ["Rigor"]),
    .testTarget(name: "LinearProgramsTests", dependencies: ["LinearPrograms", "TestSupport"]),
    .testTarget(
      name: "ExplanationsTests",
      dependencies: ["Explanations", "FileFormats", "Importers", "Domains", "TestSupport"]),
    .testTarget(
      name: "OperatorsTests",
      dependencies: ["Operators", "Domains", "Bounds", "Importers", "FileFormats", "Rigor", "TestSupport"],
      exclude: ["make_elementwise_table.py", "make_composite_table.py"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "OnnxFormatTests", dependencies: ["OnnxFormat", "FileFormats"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "SpecificationsTests", dependencies: ["Specifications", "TestSupport"],
      exclude: ["official_parser.py"]),
    .testTarget(
      name: "ResultsTests",
      dependencies: ["Results", "TestSupport", .product(name: "GRDB", package: "GRDB.swift")]),
    .testTarget(
      name: "SearchTests",
      dependencies: [
        "Bounds", "Domains", "FileFormats", "LinearPrograms", "Search", "Specifications", "Importers",
        "Operators",
        "TestSupport",
      ]),
    .testTarget(name: "BoundsTests", dependencies: ["Bounds"]),
    .testTarget(name: "DomainsTests", dependencies: ["Domains", "Importers", "TestSupport"]),
    .target(name: "TestSupport", dependencies: ["FileFormats"], path: "Tests/TestSupport"),
    .testTarget(
      name: "LanguageTests", dependencies: ["Language", "FileFormats", "TestSupport"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "CircuitsTests",
      dependencies: [
        "CKernels", "Circuits", "FileFormats", "Importers", "IR", "Language", "Operators", "Tensors",
        "TestSupport",
      ],
      exclude: ["make_tiny_transformers.py"], resources: [.copy("Fixtures")]),
    .testTarget(name: "CdtTests", dependencies: ["cdt", "FileFormats", "TestSupport"]),
    .testTarget(name: "InputsTests", dependencies: ["Inputs"]),
    .testTarget(name: "ReportsTests", dependencies: ["Reports"]),
    .testTarget(
      name: "ImportersTests",
      dependencies: ["Importers", "Domains", "OnnxFormat", "FileFormats", "TestSupport"]),
    .testTarget(name: "ReferenceTests", dependencies: ["Bounds", "Inputs", "Importers", "TestSupport"]),
    .testTarget(name: "NnverifyTests", dependencies: ["nnverify", "FileFormats", "TestSupport"]),
    .testTarget(
      name: "SMTTests",
      dependencies: [
        "SMT", "nnverify", "Importers", "Operators", "Domains", "IR", "Tensors", "Rigor", "FileFormats",
        "TestSupport",
      ]),
  ],
  swiftLanguageModes: [.v6]
)
