import Testing

@testable import LanguageModels
