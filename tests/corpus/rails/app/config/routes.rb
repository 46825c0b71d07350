Rails.application.routes.draw do
  root to: "books#index"
  get "boom", to: "books#boom"
  get "chained", to: "books#chained"
  get "told", to: "books#told"
end
