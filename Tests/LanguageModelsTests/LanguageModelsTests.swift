import Testing

import LanguageModels
